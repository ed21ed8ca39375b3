// The library for QR codes as the global `qrcode`: `copy.mjs` makes a small script of it.
export { encode as default } from 'uqr';
