{{pipes}}
const maxMessageBytes = {{max_message_bytes}};
{{rooms}}
