// The engine's functions, put where index.js finds them. Only a component can import this.

import * as host from "riverhook:function/host@0.1.0";

globalThis[Symbol.for("riverhook.host")] = host.default ?? host;
