// Shows the description of the interface.

SwaggerUIBundle({
  dom_id: "#interface",
  url: "openapi.json",
  deepLinking: true,
  // By default the description is sent to a validator on another host.
  validatorUrl: null,
});
