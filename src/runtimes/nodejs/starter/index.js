// Every call arrives here as an HTTP request; what is written to `response` is the answer.
import http from "node:http";

const server = http.createServer(async (request, response) => {
  let name = "";
  for await (const part of request) name += part;
  response.end(`Hello, ${name || "World"}!\n`);
});

server.listen(process.env.PORT, process.env.HOST);
process.on("SIGTERM", () => process.exit());
