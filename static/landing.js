import { testBroker } from './broker-test.js';
import { enableCopy } from './copy.js';
import { broker, brokerUrl, hasKey, lanHost } from './settings.js';
import { fillSnippet } from './snippet.js';

const STATE_NAMES = { waiting: 'not run yet', running: 'running', ok: 'done', failed: 'failed' };

fillSnippet();
enableCopy(document.querySelector('#copy-address'), () => document.querySelector('#address').textContent);
fillHelp();
enableTest();

function fillHelp() {
  document.querySelector('#id-link').href = brokerUrl('id');
  if (lanHost) document.querySelector('#lan-host').textContent = `this machine’s address, ${lanHost}`;
}

function enableTest() {
  const button = document.querySelector('#test-broker');
  const summary = document.querySelector('#test-summary');
  const field = document.querySelector('#test-key');

  button.hidden = false;
  document.querySelector('#start-test')?.addEventListener('click', (event) => {
    event.preventDefault();
    document.querySelector('.test').scrollIntoView();
    button.focus({ preventScroll: true });
    button.click();
  });
  document.querySelector('#test-key-field').hidden = hasKey;
  button.addEventListener('click', async () => {
    if (button.getAttribute('aria-disabled') === 'true') return;
    const key = hasKey ? broker.key : encodeURIComponent(field.value.trim());
    if (!key) {
      tell('failed', 'The test needs a key.');
      field.focus();
      return;
    }
    // Not `disabled`, which would take the keyboard focus away.
    button.setAttribute('aria-disabled', 'true');
    button.textContent = 'Testing…';
    for (const item of document.querySelectorAll('#test-steps li')) show(item.dataset.step, 'waiting', '');
    tell('running', '');

    const passed = await testBroker(show, key);

    if (passed) tell('ok', 'All steps passed: this broker works with this browser.');
    else tell('failed', 'The test failed. The failed step says what to check.');
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
