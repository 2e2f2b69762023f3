import svelte from 'eslint-plugin-svelte';
import ts from 'typescript-eslint';
import svelteConfig from './svelte.config.js';

export default ts.config(
  ...ts.configs.recommended,
  ...svelte.configs.recommended,
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser, extraFileExtensions: ['.svelte'], svelteConfig } },
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // Text from outside only ever becomes text.
      'svelte/no-at-html-tags': 'error',
      // Links are plain addresses; one listener turns them into navigation.
      'svelte/no-navigation-without-resolve': 'off',
      // These collections are local to a computation, not state.
      'svelte/prefer-svelte-reactivity': 'off',
    },
  },
  { ignores: ['dist', 'node_modules', 'generated'] },
);
