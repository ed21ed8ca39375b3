// The dashboard at the operator's port, and a server that has it.

/** The admin token of the servers below. */
export const TOKEN = 'the-token-of-the-operator';

/** Starts a server with an operator's port. `url` is its dashboard; `api` calls it like a program. */
export async function startWithDashboard(visit, flags = [], { token = TOKEN } = {}) {
  const server = await visit.server(['--ops_port', '0', ...(token ? ['--admin_token', token] : []), ...flags]);
  return { server, ...(await dashboardOf(server, token)) };
}

export async function dashboardOf(server, token = TOKEN) {
  const [, host] = await server.line(/^The API listens on http:\/\/([^/\s]+)\/api/);
  async function api(method, path, body) {
    const response = await fetch(`http://${host}${path}`, {
      method,
      headers: { ...(token && { Authorization: `Bearer ${token}` }), ...(body && { 'Content-Type': 'application/json' }) },
      body: body && JSON.stringify(body),
    });
    return { status: response.status, json: await response.json().catch(() => undefined) };
  }
  return { url: `http://${host}/`, port: Number(host.split(':')[1]), api };
}

/** Opens the dashboard and logs in. */
export async function logIn(visit, device, url, view = '') {
  // Without a session, the first question is refused.
  visit.tolerate(/status of 401/);
  const page = await visit.open(device, url + view);
  await page.getByLabel('Admin token').fill(TOKEN);
  await page.getByRole('button', { name: 'Log in' })[device.press]();
  await isLive(page);
  return page;
}

export const isLive = (page) => page.locator('#status[data-state="live"]').waitFor();

/** Waits until a number of the overview has this text. */
export const shows = (page, number, text) =>
  page.locator(`[data-number="${number}"] .value`).filter({ hasText: text instanceof RegExp ? text : new RegExp(`^${text}$`) }).waitFor();

/** Goes to a view by the navigation. */
export async function goTo(page, device, name) {
  await page.getByRole('navigation').getByRole('link', { name, exact: true })[device.press]();
  await page.getByRole('heading', { level: 1 }).waitFor({ state: 'attached' });
}
