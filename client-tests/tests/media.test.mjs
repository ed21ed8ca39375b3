import { everyClient } from '../lib/every-client.mjs';

everyClient('sees and is seen in a call', { firefox: true }, async (stage) => {
  const server = await stage.server();
  const [alice, bob] = [await stage.client(), await stage.client()];
  await bob.open(server, 'bob');
  await alice.open(server, 'alice');

  await alice.call('bob');

  await bob.must('call');
  await Promise.all([alice.must('moving picture'), bob.must('moving picture')]);
});
