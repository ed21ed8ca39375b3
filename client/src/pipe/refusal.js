// Why a broker takes no socket. Browsers hide the status of a refused handshake, but not that of a request.

/** In milliseconds: the answer may take. */
const ANSWER = 5_000;

/** Statuses that stay, with the text for the page. */
const FINAL = {
  403: (broker, text) => `the broker at ${broker} refuses this page: ${text}`,
  404: (broker) => `there is no broker at ${broker}`,
};

/**
 * Asks at the address of the broker: that of a pipe has a 404 for every request that is no handshake.
 * @param {string} url of the socket
 * @returns {Promise<{ final?: string, wait: number }>} why no later attempt can help, or the milliseconds before the next one
 */
export async function askWhy(url) {
  const broker = new URL('..', url.replace('ws', 'http')).href;
  try {
    const answer = await fetch(broker, { cache: 'no-store', signal: AbortSignal.timeout(ANSWER) });
    const final = FINAL[answer.status]?.(broker, await firstLineOf(answer));
    return { final, wait: Number(answer.headers.get('Retry-After')) * 1000 || 0 };
  } catch {
    // The network is gone, the broker is, or it does not let pages of this origin read its answers.
    return { wait: 0 };
  }
}

/** The broker answers with a text. Others may have a page. */
async function firstLineOf(answer) {
  const isText = answer.headers.get('Content-Type')?.startsWith('text/plain');
  return isText ? (await answer.text()).split('\n', 1)[0] : answer.status;
}
