import { svg } from './dom.js';

const PATHS = {
  microphone: 'M12 3.5a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0v-5a3 3 0 0 0-3-3ZM5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3',
  'microphone-off':
    'M9 9v2.5a3 3 0 0 0 4.9 2.3M15 11V6.5a3 3 0 0 0-5.8-1M5.5 11.5a6.5 6.5 0 0 0 10.2 5.3M18.5 11.5c0 1-.2 2-.6 2.8' +
    'M12 18v3M4 4l16 16',
  camera: 'M5 6.5h8.5a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2ZM15.5 11l5.5-3.5v9L15.5 13',
  'camera-off':
    'M10 6.5h3.5a2 2 0 0 1 2 2V11l5.5-3.5v9M15.5 15.5a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2M3.5 3.5l17 17',
};

/** A picture that screen readers skip, so put its meaning into words beside it. */
export const icon = (name) => svg('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' }, svg('path', { d: PATHS[name] }));
