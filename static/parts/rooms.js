(() => {
{{rooms}}
Object.assign(window, { joinRoom, RoomError });
})();
