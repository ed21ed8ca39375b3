import { requireWebRtc } from '../../shared/library.js';
import { show, startPage } from '../../shared/start-page.js';
import { startCalls } from './calls.js';

const target = new URLSearchParams(location.search).get('call') ?? decodeURIComponent(location.hash.slice(1));

startPage(async () => {
  await requireWebRtc();
  show('call');
  startCalls(target || undefined);
});
