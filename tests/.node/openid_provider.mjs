// A real OpenID provider on loopback, for tests/people/test_openid.py: whoever logs in as `name` is told to be
// `name@seteli.test`, verified unless the name begins with `unverified`. Arguments: port, where to send browsers back to.
import { Provider } from "oidc-provider";

const [port, back] = process.argv.slice(2);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: "seteli", client_secret: "a secret & more", redirect_uris: [back] }],
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  pkce: { required: () => true },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@seteli.test`, email_verified: !id.startsWith("unverified") }),
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
