// fetch through HTTPS_PROXY, for a Node that does not know NODE_USE_ENV_PROXY: node --import ./proxy.mjs app.mjs
import { EnvHttpProxyAgent, setGlobalDispatcher } from "undici";
setGlobalDispatcher(new EnvHttpProxyAgent());
