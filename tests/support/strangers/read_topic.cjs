// Reads a topic with kafkajs from its beginning, as a stranger would: one line of JSON a message.
// Told by argv: servers, topic, how many messages.
const { Kafka, logLevel } = require("kafkajs");

const [servers, topic, wanted] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "stranger", brokers: servers.split(","), logLevel: logLevel.ERROR });

async function main() {
  const consumer = kafka.consumer({ groupId: `stranger-${process.pid}` });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  let left = Number(wanted);
  const all = new Promise((resolve) => {
    consumer.run({
      eachMessage: async ({ message }) => {
        if (left-- <= 0) return;
        const headers = Object.entries(message.headers).map(([name, value]) => [name, String(value)]);
        console.log(JSON.stringify({ headers, value: message.value.toString("base64") }));
        if (left === 0) resolve();
      },
    });
  });
  await all;
  await consumer.disconnect();
}

main().catch((fault) => {
  console.error(fault);
  process.exit(1);
});
