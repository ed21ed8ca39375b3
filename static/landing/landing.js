import { testBroker } from '../shared/connection-test.js';
import { WAYS } from '../shared/connection-words.js';
import { enableCopy } from '../shared/copy.js';
import { broker, brokerUrl, hasKey, hasRelay, lanHost } from '../shared/settings.js';
import { fillSnippet } from './fill-snippet.js';
import { enableTabs } from './tabs.js';

const STATE_NAMES = { waiting: 'not run yet', running: 'running', ok: 'done', failed: 'failed' };

fillCode();
enableCopy(document.querySelector('#copy-address'), () => document.querySelector('#address').textContent);
fillHelp();
enableTest();

/** The code that connects to this broker, in tabs. The browser knows the address best: a proxy may have changed it. */
function fillCode() {
  const origins = { http: location.origin, ws: location.origin.replace(/^http/, 'ws') };
  for (const place of document.querySelectorAll('[data-origin]')) place.textContent = origins[place.dataset.origin];
  const shown = enableTabs(document.querySelector('#code-tabs'));
  fillSnippet(() => shown().querySelector('code'));
}

function fillHelp() {
  document.querySelector('#id-link').href = brokerUrl('id');
  if (lanHost) document.querySelector('#lan-host').textContent = `this machine’s address, ${lanHost}`;
}

function enableTest() {
  const button = document.querySelector('#test-broker');
  const relayButton = document.querySelector('#test-relay');
  const picture = document.querySelector('#test-picture');
  const summary = document.querySelector('#test-summary');
  const field = document.querySelector('#test-key');

  button.hidden = false;
  relayButton.hidden = document.querySelector('#relay-hint').hidden = !hasRelay;
  document.querySelector('#start-test')?.addEventListener('click', (event) => {
    event.preventDefault();
    document.querySelector('.test').scrollIntoView();
    button.focus({ preventScroll: true });
    button.click();
  });
  document.querySelector('#test-key-field').hidden = hasKey;
  button.addEventListener('click', () => run(button, {}));
  relayButton.addEventListener('click', () => run(relayButton, { relayOnly: true }));

  async function run(pressed, options) {
    if (pressed.getAttribute('aria-disabled') === 'true') return;
    const key = hasKey ? broker.key : encodeURIComponent(field.value.trim());
    if (!key) {
      tell('failed', 'The test needs a key.');
      field.focus();
      return;
    }
    const label = pressed.textContent;
    // Not `disabled`, which would take the keyboard focus away.
    for (const each of [button, relayButton]) each.setAttribute('aria-disabled', 'true');
    pressed.textContent = 'Testing…';
    picture.dataset.way = options.relayOnly ? 'relay' : 'direct';
    for (const item of document.querySelectorAll('#test-steps li')) show(item.dataset.step, 'waiting', '');
    tell('running', '');

    const way = await testBroker(show, key, options);

    if (way) {
      picture.dataset.way = way;
      tell('ok', `All steps passed: this broker works with this browser. The data went ${WAYS[way]}.`);
    } else {
      tell('failed', 'The test failed. The failed step says what to check.');
    }
    for (const each of [button, relayButton]) each.setAttribute('aria-disabled', 'false');
    pressed.textContent = pressed === button ? 'Test again' : label;
  }

  function tell(state, text) {
    summary.dataset.state = state;
    summary.textContent = text;
  }
}

function show(step, state, detail) {
  const item = document.querySelector(`#test-steps li[data-step="${step}"]`);
  item.dataset.state = state;
  item.querySelector('.mark').setAttribute('aria-label', STATE_NAMES[state]);
  item.querySelector('.detail').textContent = detail;
  for (const part of document.querySelectorAll(`#test-picture [data-step~="${step}"]`)) {
    part.dataset.state = state;
  }
}
