// The API's document as a page.
import '../fonts.css';
import '../tokens.css';
import '../base.css';
import { mount } from 'svelte';
import '../lib/theme.svelte';
import Docs from './Docs.svelte';

const target = document.getElementById('app');
if (target) mount(Docs, { target });
