// Zips made and looked into, as little of the format as folders of source need.

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit += 1) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Numbers in little endian: `[value, bytes]`. */
function packed(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [, size]) => sum + size, 0)));
  let at = 0;
  for (const [value, size] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

const VERSION = [20, 2];
const UTF8 = [0x800, 2];
const STORED = [0, 2];
const MIDNIGHT = [[0, 2], [0x21, 2]]; // 1 January 1980: the same files are the same zip

/** A zip of `[{path, file}]`. No modes are given, as a browser knows none: all may be executed. */
export async function zipOf(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { path, file } of files) {
    const name = new TextEncoder().encode(path);
    const sum = crc32(new Uint8Array(await file.arrayBuffer()));
    const sizes = [[sum, 4], [file.size, 4], [file.size, 4], [name.length, 2], [0, 2]];
    const head = packed([0x04034b50, 4], VERSION, UTF8, STORED, ...MIDNIGHT, ...sizes);
    directory.push(packed([0x02014b50, 4], VERSION, VERSION, UTF8, STORED, ...MIDNIGHT, ...sizes, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]), name);
    parts.push(head, name, file);
    offset += head.length + name.length + file.size;
    if (offset > 0xf0000000) throw new Error('The folder is too large for a zip: 3.7 GiB at most.');
  }
  const size = directory.reduce((sum, bytes) => sum + bytes.length, 0);
  const end = packed([0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [size, 4], [offset, 4], [0, 2]);
  return new Blob([...parts, ...directory, end], { type: 'application/zip' });
}

/** The files in a zip: `[{path, text()}]`. */
export async function filesIn(zip) {
  const tail = new DataView(await zip.slice(Math.max(0, zip.size - 65_557)).arrayBuffer());
  let at = tail.byteLength - 22;
  while (at >= 0 && tail.getUint32(at, true) !== 0x06054b50) at -= 1;
  if (at < 0) throw new Error('This is no zip.');
  const [count, size, start] = [tail.getUint16(at + 10, true), tail.getUint32(at + 12, true), tail.getUint32(at + 16, true)];
  const directory = new DataView(await zip.slice(start, start + size).arrayBuffer());
  const files = [];
  for (let here = 0; files.length < count && here + 46 <= directory.byteLength; ) {
    const [method, length, name, extra, comment, offset] = [directory.getUint16(here + 10, true), directory.getUint32(here + 20, true),
      ...[28, 30, 32].map((field) => directory.getUint16(here + field, true)), directory.getUint32(here + 42, true)];
    const path = new TextDecoder().decode(new Uint8Array(directory.buffer, here + 46, Math.min(name, directory.byteLength - here - 46)));
    files.push({ path, text: () => textAt(zip, offset, length, method) });
    here += 46 + name + extra + comment;
  }
  return files;
}

async function textAt(zip, offset, length, method) {
  const head = new DataView(await zip.slice(offset, offset + 30).arrayBuffer());
  const from = offset + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  const bytes = zip.slice(from, from + length);
  const plain = method === 8 ? bytes.stream().pipeThrough(new DecompressionStream('deflate-raw')) : bytes.stream();
  return new Response(plain).text();
}
