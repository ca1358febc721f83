// Starts the dashboard: the pages, what stands above them, and the way in where a token is asked for.

import { gate, token } from './api.js';
import { lists } from './live.js';
import { route, start, stop } from './router.js';
import { signin } from './signin.js';
import { top } from './top.js';
import { overview } from './overview.js';
import { functionsPage } from './functions.js';
import { functionPage } from './function.js';
import { deployPage } from './deploy.js';
import { nodesPage } from './nodes.js';
import { nodePage } from './node.js';
import { tasksPage } from './tasks.js';
import { taskPage } from './task.js';
import { pipelinesPage } from './pipelines.js';
import { pipelinePage } from './pipeline.js';
import { tokensPage } from './tokens.js';

route('/', overview);
route('/functions', functionsPage);
route('/functions/:name', functionPage);
route('/functions/:name/:tab', functionPage);
route('/deploy', deployPage);
route('/deploy/:name', deployPage);
route('/tasks', tasksPage);
route('/tasks/:id', taskPage);
route('/pipelines', pipelinesPage);
route('/pipelines/:id', pipelinePage);
route('/nodes', nodesPage);
route('/nodes/:id', nodePage);
route('/tokens', tokensPage);

gate.addEventListener('closed', () => {
  stop();
  for (const list of [...lists]) list.stop();
  document.getElementById('top').replaceChildren();
  signin(token());
});
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  document.getElementById('main').focus();
});
top();
start();
