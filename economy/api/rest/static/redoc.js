// Its search would start a worker from a blob, which the page's policy does not allow.
Redoc.init("openapi.json", { disableSearch: true }, document.getElementById("docs"));
