// Starts Swagger UI; a file of its own, so that the page needs no inline script.
window.addEventListener("load", () => {
  const page = document.getElementById("swagger-ui");
  window.ui = SwaggerUIBundle({
    url: page.dataset.specification,
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    validatorUrl: null,
  });
});
