import { mount } from 'svelte';
import App from './App.svelte';
import { connection } from './model/connection.svelte';
import { overview } from './model/overview.svelte';
import { preferences } from './shell/preferences.svelte';
import { router } from './shell/router.svelte';
import './styles/tokens.css';
import './styles/base.css';

preferences.start();
router.start();
overview.start();
connection.start();

const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');
mount(App, { target });
