import { mount } from 'svelte';
import App from './App.svelte';
import { answers } from './model/answers.svelte';
import { configuration } from './model/configuration.svelte';
import { history } from './model/history.svelte';
import { service } from './model/service.svelte';
import { underWay } from './model/underway.svelte';
import { preferences } from './shell/preferences.svelte';
import { router } from './shell/router.svelte';
import { session } from './shell/session.svelte';
import './styles/tokens.css';
import './styles/base.css';

preferences.start();
router.start();
answers.start();
session.start();
underWay.start();
history.start();
service.start();
configuration.start();

const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');
mount(App, { target });
