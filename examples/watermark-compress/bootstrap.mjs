// A runtime of the kind that AWS calls `provided`: asks for an event, calls the handler, answers; again and again.
//
// AWS's own client for Node, `aws-lambda-ric`, does the same and needs a compiler to install. This one needs nothing.

const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;
const post = (path, value) => fetch(`${api}/${path}`, { method: "POST", body: JSON.stringify(value ?? null) });
const described = (error) => ({ errorType: error?.name ?? "Error", errorMessage: String(error?.message ?? error) });

const [module, name] = process.env._HANDLER.split(".");
let handler;
try {
  handler = (await import(`./${module}.mjs`))[name];
  if (typeof handler !== "function") throw new Error(`${module}.mjs exports no function ${name}`);
} catch (error) {
  await post("init/error", described(error));
  process.exit(1);
}

for (;;) {
  const next = await fetch(`${api}/invocation/next`);
  const id = next.headers.get("lambda-runtime-aws-request-id");
  const context = { awsRequestId: id, functionName: process.env.AWS_LAMBDA_FUNCTION_NAME };
  try {
    const answer = await handler(await next.json(), context);
    await post(`invocation/${id}/response`, answer);
  } catch (error) {
    await post(`invocation/${id}/error`, described(error));
  }
}
