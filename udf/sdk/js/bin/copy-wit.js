// Copies the contract into the package before it is packed: in the repository it stands once, in udf/wit.

import { cpSync, existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const [contract, copy] = ["../../../wit", "../wit"].map((path) => fileURLToPath(new URL(path, import.meta.url)));
if (existsSync(contract)) cpSync(contract, copy, { recursive: true });
