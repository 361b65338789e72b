/** The form that asks for the token, where the server wants one. */
import { api } from "./api.js";
import { byId } from "./dom.js";
import { quote, say } from "./words.js";

let isAsking = false;

/** Show the form in place of the page; `done()` is called once the server has accepted a token. */
export function askForToken(done) {
  byId("page").hidden = true;
  byId("gate").hidden = false;
  if (isAsking) return;
  isAsking = true;
  const input = byId("token");
  const error = byId("token-error");
  input.focus();
  byId("token-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    error.hidden = true;
    try {
      await api.openSession(input.value);
      done();
    } catch (failure) {
      if (failure.status === 401) say(error, "token.wrong");
      else quote(error, failure.message);
      error.hidden = false;
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", "token-error");
      input.select();
    }
  });
}
