// The public page: style and the visitor's theme, nothing else.
import '../fonts.css';
import '../tokens.css';
import '../base.css';
import './landing.css';

const chosen = localStorage.getItem('nexusmon.theme');
if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
