import { testBroker } from './broker-test.js';
import { enableCopy } from './copy.js';
import { broker, brokerUrl, lanHost } from './settings.js';

const STATE_NAMES = { waiting: 'not run yet', running: 'running', ok: 'done', failed: 'failed' };

fillSnippet();
fillHelp();
enableTest();

function fillSnippet() {
  const snippet = document.querySelector('#snippet');
  for (const [option, value] of Object.entries(broker)) {
    snippet.querySelector(`[data-option="${option}"]`).textContent = JSON.stringify(value);
  }
  enableCopy(document.querySelector('#copy-snippet'), () => snippet.textContent.trim());
}

function fillHelp() {
  document.querySelector('#id-link').href = brokerUrl('id');
  if (lanHost) document.querySelector('#lan-host').textContent = `this machine’s address, ${lanHost}`;
}

function enableTest() {
  const button = document.querySelector('#test-broker');
  const summary = document.querySelector('#test-summary');

  button.hidden = false;
  button.addEventListener('click', async () => {
    if (button.getAttribute('aria-disabled') === 'true') return;
    // Not `disabled`, which would take the keyboard focus away.
    button.setAttribute('aria-disabled', 'true');
    button.textContent = 'Testing…';
    for (const item of document.querySelectorAll('#test-steps li')) show(item.dataset.step, 'waiting', '');
    tell('running', '');

    const passed = await testBroker(show);

    if (passed) tell('ok', 'All steps passed: this broker works with this browser.');
    else tell('failed', 'The test stopped here. The text above says what to look at.');
    button.setAttribute('aria-disabled', 'false');
    button.textContent = 'Test again';
  });

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
