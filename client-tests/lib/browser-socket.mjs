import { WebSocket } from 'ws';

/** A WebSocket as pages have it: nothing is thrown if nobody listens to `error`. */
export class BrowserSocket extends WebSocket {
  constructor(url) {
    super(url);
    this.on('error', () => {});
  }
}
