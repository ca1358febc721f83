// Answers that go on for ever, read piece by piece: lines, and server-sent events. Over fetch, as EventSource sends no token.

/** A line beyond this is cut: nothing of ours is so long. */
const LINE_MAX = 1 << 20;

/** The lines of an answer, in batches as they come. */
export async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const found = (rest + value).split('\n');
      rest = found.pop().slice(0, LINE_MAX);
      if (found.length) yield found;
    }
    if (rest) yield [rest];
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The events of an answer, in batches: `{kind, id, data}`. An empty batch says that it is still there. */
export async function* events(answer) {
  let kind = '';
  let id = '';
  let data = [];
  for await (const batch of lines(answer)) {
    const found = [];
    for (const raw of batch) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (data.length) found.push({ kind: kind || 'message', id, data: data.join('\n') });
        [kind, data] = ['', []];
        continue;
      }
      const colon = line.indexOf(':');
      if (colon === 0) continue; // a comment: the other side is still there
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (name === 'event') kind = value;
      else if (name === 'data') data.push(value);
      else if (name === 'id') id = value;
    }
    yield found;
  }
}
