// Where the modules of a pipeline stand: columns by how much must have ended before, rows so that lines cross little.

export const BOX = { width: 168, height: 52, gapX: 64, gapY: 22, edge: 10 };

/**
 * `[{name, dependsOn}]` becomes `{places: Map name -> {x, y}, lines: [{from, to, route: [{x, y}]}], width, height}`. A line over several
 * columns has a place of its own in those between, so that it passes no module.
 */
export function layout(modules) {
  const byName = new Map(modules.map((one) => [one.name, one]));
  const before = (one) => one.dependsOn.filter((name) => byName.has(name));
  const depths = new Map();
  const depth = (name) => {
    if (!depths.has(name)) {
      depths.set(name, 0);
      const deps = before(byName.get(name));
      depths.set(name, deps.length ? 1 + Math.max(...deps.map(depth)) : 0);
    }
    return depths.get(name);
  };
  const columns = [];
  const add = (at, item) => ((columns[at] ??= []).push(item), item);
  const items = new Map(modules.map(({ name }) => [name, add(depth(name), { after: [] })]));
  const bends = new Map();
  const lines = [];
  for (const one of modules) {
    for (const name of before(one)) {
      const route = [items.get(name)];
      for (let at = depth(name) + 1; at < depth(one.name); at += 1) {
        const key = `${at} ${name}`; // lines from one module go together
        if (!bends.has(key)) bends.set(key, add(at, { after: [route.at(-1)] }));
        route.push(bends.get(key));
      }
      items.get(one.name).after.push(route.at(-1));
      lines.push({ from: name, to: one.name, route: [...route, items.get(one.name)] });
    }
  }
  const most = Math.max(1, ...columns.map((column) => column.length));
  const { width, height, gapX, gapY, edge } = BOX;
  // Each stands near the middle of what it depends on.
  const middle = ({ after }) => (after.length ? after.reduce((sum, one) => sum + one.y, 0) / after.length : 0);
  columns.forEach((column, at) => {
    const wanted = new Map(column.map((one) => [one, middle(one)]));
    column.sort((a, b) => wanted.get(a) - wanted.get(b));
    column.forEach((one, row) => {
      one.x = edge + at * (width + gapX);
      one.y = edge + (row + (most - column.length) / 2) * (height + gapY);
    });
  });
  return { places: items, lines, width: 2 * edge + columns.length * (width + gapX) - gapX, height: 2 * edge + most * (height + gapY) - gapY };
}
