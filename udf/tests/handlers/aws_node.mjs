// An ordinary Lambda handler, for AWS's own client for Node; what it does is in aws_python.py.

let calls = 0;

export const handler = async (event, context) => {
  calls += 1;
  switch (event.do) {
    case "raise":
      throw new RangeError("bad " + event.what);
    case "sleep":
      await new Promise((done) => setTimeout(done, event.seconds * 1000));
      return null;
    case "exit":
      process.exit(9);
      break;
    case "context":
      return {
        id: context.awsRequestId,
        arn: context.invokedFunctionArn,
        name: context.functionName,
        version: context.functionVersion,
        memory: context.memoryLimitInMB,
        group: context.logGroupName,
        left: context.getRemainingTimeInMillis(),
      };
    case "large":
      return "x".repeat(event.bytes);
    case "print":
      console.log("hello from the handler");
      return null;
    case "kafka":
      return { batchItemFailures: failures(event.records) };
    default:
      return event.eventSource === "SelfManagedKafka" ? records(event.records) : { calls, event };
  }
};

async function records(partitions) {
  const made = [];
  const failed = [];
  for (const [partition, list] of Object.entries(partitions)) {
    for (const record of list) {
      const value = JSON.parse(Buffer.from(record.value, "base64").toString());
      if (value.do === "sleep") await new Promise((done) => setTimeout(done, 60_000));
      if (value.do === "fail") failed.push({ itemIdentifier: { partition, offset: record.offset } });
      made.push({ n: value.n, calls });
    }
  }
  return failed.length > 0 ? { batchItemFailures: failed } : made;
}

// The records with odd offsets.
function failures(records) {
  return Object.entries(records).flatMap(([partition, list]) =>
    list
      .filter((record) => record.offset % 2 === 1)
      .map((record) => ({ itemIdentifier: { partition, offset: record.offset } })),
  );
}
