(() => {
{{library}}
const lanHost = {{lan_host}};
{{script}}
})();
