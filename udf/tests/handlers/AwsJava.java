// An ordinary Lambda handler, for AWS's own client for Java; what it does is in aws_python.py.

import com.amazonaws.services.lambda.runtime.Context;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

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
                if ("SelfManagedKafka".equals(event.get("eventSource"))) {
                    return records(event);
                }
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

    private static final Pattern NUMBER = Pattern.compile("\"n\":\\s*(\\d+)");

    @SuppressWarnings("unchecked")
    private static Object records(Map<String, Object> event) throws Exception {
        List<Object> made = new ArrayList<>();
        List<Object> failed = new ArrayList<>();
        for (var partition : ((Map<String, List<Map<String, Object>>>) event.get("records")).entrySet()) {
            for (Map<String, Object> record : partition.getValue()) {
                String value = new String(Base64.getDecoder().decode((String) record.get("value")));
                if (value.contains("\"sleep\"")) {
                    Thread.sleep(60_000);
                }
                if (value.contains("\"fail\"")) {
                    long offset = ((Number) record.get("offset")).longValue();
                    var position = Map.of("partition", partition.getKey(), "offset", offset);
                    failed.add(Map.of("itemIdentifier", position));
                }
                Matcher number = NUMBER.matcher(value);
                number.find();
                made.add(Map.of("n", Long.parseLong(number.group(1)), "calls", calls));
            }
        }
        return failed.isEmpty() ? made : Map.of("batchItemFailures", failed);
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
