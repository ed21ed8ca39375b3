/** The address of the broker of a Peer, by its options. */
export const brokerOf = ({ secure, host, port, path }) => `${secure ? 'https' : 'http'}://${host}:${port}${path}`;
