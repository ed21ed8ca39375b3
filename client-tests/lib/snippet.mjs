/** The options in the snippet of the built-in pages. */
export function optionsIn(snippet) {
  const Peer = function (options) {
    return { ...options };
  };
  const code = snippet.replace(/^import .*$/m, '');
  return new Function('Peer', `${code}\nreturn peer;`)(Peer);
}

/** The text that the page has copied. */
export async function pasted(page) {
  await page.evaluate(() => document.body.append(document.createElement('textarea')));
  await page.locator('textarea').last().press('Control+v');
  return page.locator('textarea').last().inputValue();
}
