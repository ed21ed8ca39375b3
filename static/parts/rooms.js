// For <script src>. As a module, for import: rooms.mjs beside this file.
{{pipes}}
(() => {
{{rooms}}
Object.assign(window, { joinRoom, RoomError });
})();
