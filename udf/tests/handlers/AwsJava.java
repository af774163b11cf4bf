// An ordinary Lambda handler, for AWS's own client for Java; what it does is in aws_python.py.

import com.amazonaws.services.lambda.runtime.Context;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public class AwsJava {
    private static int calls = 0;

    public Object handleRequest(Map<String, Object> event, Context context) throws Exception {
        calls++;
        switch (String.valueOf(event.get("do"))) {
            case "raise":
                throw new IllegalArgumentException("bad " + event.get("what"));
            case "sleep":
                Thread.sleep(1000L * ((Number) event.get("seconds")).longValue());
                return null;
            case "exit":
                Runtime.getRuntime().halt(9);
                return null;
            case "context":
                return describe(context);
            case "large":
                return "x".repeat(((Number) event.get("bytes")).intValue());
            case "print":
                System.out.println("hello from the handler");
                return null;
            case "kafka":
                return Map.of("batchItemFailures", failures(event));
            default:
                return Map.of("calls", calls, "event", event);
        }
    }

    private static Map<String, Object> describe(Context context) {
        Map<String, Object> found = new HashMap<>();
        found.put("id", context.getAwsRequestId());
        found.put("arn", context.getInvokedFunctionArn());
        found.put("name", context.getFunctionName());
        found.put("version", context.getFunctionVersion());
        found.put("memory", String.valueOf(context.getMemoryLimitInMB()));
        found.put("group", context.getLogGroupName());
        found.put("left", context.getRemainingTimeInMillis());
        return found;
    }

    /** The records with odd offsets. */
    @SuppressWarnings("unchecked")
    private static List<Object> failures(Map<String, Object> event) {
        List<Object> failures = new ArrayList<>();
        ((Map<String, List<Map<String, Object>>>) event.get("records")).forEach((partition, records) -> {
            for (Map<String, Object> record : records) {
                long offset = ((Number) record.get("offset")).longValue();
                if (offset % 2 == 1) {
                    failures.add(Map.of("itemIdentifier", Map.of("partition", partition, "offset", offset)));
                }
            }
        });
        return failures;
    }
}
