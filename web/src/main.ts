// The console begins.
import './fonts.css';
import './tokens.css';
import './base.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { stretched } from './lib/stretched.svelte';
import './lib/theme.svelte';

const target = document.getElementById('app');
if (target) {
  target.replaceChildren();
  mount(App, { target });
  stretched.start();
}
