// Runs in pages before their own scripts: which way a connection goes.

/** The pair of candidates that ICE has chosen: `{local, remote}`, each with `type`, `address`, `port` and `protocol`; and whether it tries others. */
window.wayOf = async (connection) => {
  const report = await connection.getStats();
  const all = [...report.values()];
  // Firefox has no report of the transport, and marks the pair.
  const chosen = report.get(all.find(({ type }) => type === 'transport')?.selectedCandidatePairId)
    ?? all.find(({ type, selected }) => type === 'candidate-pair' && selected);
  const end = ({ candidateType: type, address, port, protocol }) => ({ type, address, port, protocol });
  const isTrying = all.some(({ type, state }) => type === 'candidate-pair' && state === 'in-progress');
  return { local: end(report.get(chosen.localCandidateId)), remote: end(report.get(chosen.remoteCandidateId)), isTrying };
};
