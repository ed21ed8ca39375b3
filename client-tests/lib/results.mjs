// A reporter of node's test runner for scripts/test.mjs: a line of JSON for each test that stands at the top of its file.

export default async function* (source) {
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    // A file that does not load fails as a test with its path as the name.
    if (data.nesting > 0 || data.name.endsWith('.test.mjs')) continue;
    const isSkipped = data.skip !== undefined && data.skip !== false;
    const outcome = type === 'test:fail' ? 'failed' : isSkipped ? 'skipped' : 'passed';
    yield `${JSON.stringify({ name: data.name, seconds: data.details.duration_ms / 1000, outcome })}\n`;
  }
}
