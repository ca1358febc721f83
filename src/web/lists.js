// The lists that pages share.

import { List } from './live.js';

export const functions = new List('/functions', (row) => row.name);
export const nodes = new List('/nodes', (row) => row.id);
export const tasks = new List('/api/v1/manager/tasks', (row) => row.id);
export const pipelines = new List('/api/pipelines', (row) => row.id);
