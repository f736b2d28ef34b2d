// Starts GraphiQL with the explorer; the query and variables live in the URL so they can be shared.
"use strict";

const EXAMPLE_QUERY = `{
  me {
    username
    balance
    inventory {
      quantity
      product {
        name
      }
    }
  }
  products {
    nodes {
      id
      name
      price
    }
  }
}
`;

const container = document.getElementById("graphiql");
const parameters = new URLSearchParams(window.location.search);
// Both names work; an edit is written back under the name the page was opened with.
const queryParameter = parameters.has("query") ? "query" : "q";

function updateURL(name, value) {
  if (value) {
    parameters.set(name, value);
  } else {
    parameters.delete(name);
  }
  const search = parameters.toString();
  window.history.replaceState(null, "", window.location.pathname + (search && `?${search}`));
}

function initialHeaders() {
  const demoToken = container.dataset.demoToken;
  if (parameters.has("headers") || !demoToken) {
    return parameters.get("headers") ?? "";
  }
  return JSON.stringify({ Authorization: `Bearer ${demoToken}` }, null, 2);
}

// GraphiQL's history stores headers even with shouldPersistHeaders off: keep everything in memory.
function memoryStorage() {
  const items = new Map();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => items.set(key, value),
    removeItem: (key) => items.delete(key),
    clear: () => items.clear(),
    get length() {
      return items.size;
    },
  };
}

ReactDOM.createRoot(container).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: window.location.pathname }),
    plugins: [GraphiQLPluginExplorer.explorerPlugin()],
    storage: memoryStorage(),
    shouldPersistHeaders: false,
    query: parameters.get(queryParameter) || undefined,
    variables: parameters.get("variables") || undefined,
    defaultQuery: EXAMPLE_QUERY,
    defaultHeaders: initialHeaders(),
    defaultEditorToolsVisibility: true,
    inputValueDeprecation: true,
    isHeadersEditorEnabled: true,
    // The untouched example stays out of the URL.
    onEditQuery: (query) => updateURL(queryParameter, query === EXAMPLE_QUERY ? "" : query),
    onEditVariables: (variables) => updateURL("variables", variables),
    // Edited headers never go into the URL: they hold credentials.
  }),
);
