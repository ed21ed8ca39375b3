// ESLint for all scripts of the repository, as part of `make lint`. The files `tsconfig*.json` have the types for tsc. Paths are those of the root.

import js from '@eslint/js';
import globals from 'globals';

// Globals that the libraries under test set in pages.
const libraries = { Peer: 'readonly', SimplePeer: 'readonly', peerjs: 'readonly' };

export default [
  // Libraries, and templates that are no JavaScript before the server has filled them.
  { ignores: ['client/dist/', 'npm/vendor/dist/', 'client-tests/clients/', 'target/', 'static/parts/'] },
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      'array-callback-return': 'error',
      'default-case-last': 'error',
      eqeqeq: 'error',
      'no-constructor-return': 'error',
      // Where a failure has no consequence, `catch {}` says so.
      'no-empty': ['error', { allowEmptyCatch: true }],
      'no-self-compare': 'error',
      'no-template-curly-in-string': 'error',
      'no-throw-literal': 'error',
      'no-unreachable-loop': 'error',
      'no-unused-expressions': ['error', { allowShortCircuit: true }],
      'no-unused-vars': ['error', { args: 'after-used', ignoreRestSiblings: true }],
      'no-useless-return': 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      'prefer-promise-reject-errors': 'error',
    },
  },
  {
    files: ['client/**', 'static/**', 'npm/vendor/*.js', 'client-tests/lib/*.js'],
    languageOptions: { globals: { ...globals.browser, ...libraries } },
  },
  {
    // Tests have functions that run in pages.
    files: ['**/*.mjs'],
    languageOptions: { globals: { ...globals.node, ...globals.browser, ...libraries } },
  },
  {
    files: ['npm/peerbroker/**/*.js'],
    languageOptions: { sourceType: 'commonjs', globals: globals.node },
  },
];
