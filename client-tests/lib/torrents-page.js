// Runs in the pages that share files: WebTorrent's build for browsers, as apps have it.

window.harness = (() => {
  const { record, next, must, count, story } = window.log;
  // Not a literal: tsc would look for it.
  const script = '/webtorrent.min.js';
  const opened = open();

  async function open() {
    const { default: WebTorrent } = await import(script);
    const client = new WebTorrent({ dht: false, tracker: { rtcConfig: { iceServers: [] } } });
    client.on('error', (error) => record('error', error.message));
    return client;
  }

  function watch(torrent) {
    torrent.on('warning', (warning) => record('warning', warning.message ?? warning));
    torrent.on('wire', () => record('met'));
  }

  /** Seeds a file with this tracker; resolves with the magnet link of its torrent. */
  async function seed({ url, text }) {
    const client = await opened;
    const torrent = await new Promise((resolve) => client.seed(new File([text], 'note.txt'), { announceList: [[url]] }, resolve));
    watch(torrent);
    return torrent.magnetURI;
  }

  /** Downloads the file of a torrent, by its magnet link or by the code of a listing, and seeds it; resolves with its text. */
  async function load(magnet) {
    const client = await opened;
    const torrent = magnet.code ? new Function('client', 'infoHash', magnet.code)(client, magnet.infoHash) : client.add(magnet);
    watch(torrent);
    await new Promise((resolve) => torrent.on('done', resolve));
    return (await torrent.files[0].blob()).text();
  }

  /** Runs code of a page's snippet, which has its `client` seed `files`; resolves with the info hash. */
  async function run(code) {
    const client = await opened;
    const seeded = new Promise((resolve) => client.once('torrent', resolve));
    new Function('client', 'files', code)(client, [new File(['hello'], 'note.txt')]);
    return (await seeded).infoHash;
  }

  /** Leaves all swarms as an app does. */
  async function leave() {
    const client = await opened;
    await new Promise((resolve) => client.destroy(resolve));
  }

  return { seed, load, run, leave, next, must, count, story };
})();
