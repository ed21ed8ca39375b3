// The quiz of docs/USE.md, as it stands there: a screen, its second window, and eight phones.

import assert from 'node:assert/strict';
import { newPage } from '../lib/browser.mjs';
import { startProxy } from '../lib/frozen-proxy.mjs';
import { listing } from '../lib/listings.mjs';
import { folderWith } from '../lib/scratch.mjs';
import { Stage, testOn } from '../lib/stage.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { until } from '../lib/within.mjs';

const PHONES = 8;

class Quiz extends Stage {
  #browser;

  constructor(browser) {
    super();
    this.#browser = browser;
  }

  /** @param {{ port: number }} server @param {string} address */
  async open({ port }, address) {
    const page = await newPage(this.#browser);
    this.started.pages.push({ stop: () => page.close(), story: () => page.evaluate(() => document.body.innerText) });
    await page.goto(`http://127.0.0.1:${port}/${address}`);
    return page;
  }
}

const titleOf = (page) => page.evaluate(() => document.querySelector('h1').textContent);
const hasTitle = (page, title) => until(title, async () => (await titleOf(page)) === title);
const hasWinner = (page) => until('a winner', async () => (await titleOf(page)).endsWith('!'));
const hasScore = (page, score) => until(score, () => page.evaluate((text) => document.querySelector('main').textContent.includes(text), score));
const isHidden = (page) => page.evaluate(() => document.querySelector('button').hidden);
const hasButton = (page) => until('a button', async () => !(await isHidden(page)));
const press = (page) => page.evaluate(() => document.querySelector('button').click());

for (const browser of isThorough ? ['chromium', 'firefox'] : ['chromium']) {
  testOn(`a quiz has one winner, keeps its scores, and goes on in another window (${browser})`, () => new Quiz(browser), async (quiz) => {
    const app = folderWith(listing('docs/USE.md', '<title>Quiz</title>'));
    const server = await quiz.server(['--static_dir', app, '--reclaim_timeout', '2000']);
    const network = await quiz.keep('proxies', startProxy(server.port));
    const screen = await quiz.open(server, '');
    await hasTitle(screen, 'Question 1');
    await hasButton(screen);
    const address = await screen.evaluate(() => location.search);
    assert.match(address, /^\?\w+$/);
    const window2 = await quiz.open(server, address);
    await hasTitle(window2, 'Question 1');
    assert.equal(await isHidden(window2), true);

    const phones = [];
    for (let phone = 0; phone < PHONES; phone += 1) phones.push(await quiz.open(phone ? server : network, `${address}#phone`));
    for (const phone of phones) await hasButton(phone);
    const [sleeper, ...awake] = phones;

    // All press at once, and see one winner.
    await Promise.all(phones.map(press));
    await hasWinner(screen);
    const winner = (await titleOf(screen)).replace('!', '');
    for (const page of [window2, ...phones]) await hasTitle(page, `${winner}!`);
    await press(screen);
    for (const page of [screen, window2, ...phones]) await hasTitle(page, 'Question 2');
    for (const page of [screen, ...phones]) await hasScore(page, `${winner}: 1`);

    // A phone falls asleep in the middle of a question, and hears what it has missed.
    network.freeze();
    await press(awake[0]);
    for (const page of [screen, ...awake]) await hasWinner(page);
    const second = (await titleOf(screen)).replace('!', '');
    await press(screen);
    for (const page of [screen, ...awake]) await hasTitle(page, 'Question 3');
    network.thaw();
    network.cut();
    await hasTitle(sleeper, 'Question 3');

    // A phone that is loaded again has its seat and its score.
    await awake[0].reload();
    await hasTitle(awake[0], 'Question 3');
    await hasScore(awake[0], `${second}: `);

    // The screen is loaded again, and keeps the scores; then it is closed, and its other window is the host.
    await screen.reload();
    await hasTitle(screen, 'Question 3');
    await hasScore(screen, `${winner}: `);
    await hasButton(window2);
    await screen.close();
    await press(awake[1]);
    await hasWinner(window2);
    await press(window2);
    for (const page of [window2, ...phones]) await hasTitle(page, 'Question 4');
  });
}
