// Shows the description of the interface.

import { fetchWithKey, keyHeaders } from "../page/key.js";

const DESCRIPTION = "openapi.json";

// Where the service requires a key, this asks the user for it.
await fetchWithKey(DESCRIPTION);

SwaggerUIBundle({
  dom_id: "#interface",
  url: DESCRIPTION,
  deepLinking: true,
  // By default the description is sent to a validator on another host.
  validatorUrl: null,
  requestInterceptor: (request) => {
    Object.assign(request.headers, keyHeaders());
    return request;
  },
});
