// A hook in a few lines, for tests of stock clients: `answer` says what comes of a question.
import { createServer } from 'node:http';

export class Hook {
  asked = [];
  #server;

  static async start(t, answer) {
    const hook = new Hook();
    hook.#server = createServer((request, response) => hook.#serve(request, response, answer));
    await new Promise((resolve) => hook.#server.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      hook.#server.closeAllConnections();
      hook.#server.close();
    });
    return hook;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/hook`;
  }

  async #serve(request, response, answer) {
    let text = '';
    for await (const piece of request.setEncoding('utf8')) text += piece;
    const question = JSON.parse(text);
    this.asked.push(question);
    const said = await answer(question);
    // Nothing at all, if that is what is meant.
    if (said === undefined) return;
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(said));
  }
}
