// For <script src>. As a module, for import: rooms.mjs beside this file.
{{pipes}}
(() => {
const maxMessageBytes = {{max_message_bytes}};
{{rooms}}
Object.assign(window, rooms);
})();
