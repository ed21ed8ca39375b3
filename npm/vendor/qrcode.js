// The library for QR codes as the global `qrcode`: `copy.mjs` makes a small script of it.
export { default } from 'qrcode-generator';
