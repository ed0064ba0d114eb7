// wildgate's client for Node.js: one video in, one verdict out, or a stream of them.
import { readFileSync } from "node:fs";
import * as grpc from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer } from "@grpc/proto-loader";

// The protos and what they import, with google.rpc's error details; written by `make proto`.
const described = loadFileDescriptorSetFromBuffer(readFileSync(new URL("wildgate.binpb", import.meta.url)), {
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { ScoringService } = grpc.loadPackageDefinition(described).wildgate.v1;
const decode = (name, bytes) => described[name].deserialize(bytes);

const MIB = 1024 * 1024;
const RETRYABLE = new Set([grpc.status.UNAVAILABLE, grpc.status.RESOURCE_EXHAUSTED]);

/** Why a video has no verdict: `code` is the gRPC status's name, `reason` says which case of it this is. */
export class ScoringError extends Error {
  constructor(message, { code, reason, metadata = {}, retryAfterS = null }) {
    super(message);
    this.name = "ScoringError";
    Object.assign(this, { code: grpc.status[code], reason, metadata, retryAfterS, retryable: RETRYABLE.has(code) });
  }

  /** From a google.rpc.Status; `reason` is the status's name where the server gives none. */
  static of({ code, message, details = [] }) {
    const found = { code, reason: grpc.status[code] };
    for (const { type_url, value } of details) {
      if (type_url.endsWith("/google.rpc.ErrorInfo")) {
        const { reason, metadata } = decode("google.rpc.ErrorInfo", value);
        Object.assign(found, { reason, metadata });
      } else if (type_url.endsWith("/google.rpc.RetryInfo")) {
        const { seconds, nanos } = decode("google.rpc.RetryInfo", value).retry_delay;
        found.retryAfterS = seconds + nanos / 1e9;
      }
    }
    return new ScoringError(message, found);
  }

  static ofCall(error) {
    const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
    return ScoringError.of(bytes ? decode("google.rpc.Status", bytes) : { code: error.code, message: error.details });
  }
}

/** Talks to the server at `target`. `ca` (PEM) turns TLS on; `token` is a bearer token, or a function that gives it. */
export class ScoringClient {
  constructor(target, { ca, cert, key, token, maxContentBytes = 64 * MIB } = {}) {
    const credentials = ca ? grpc.credentials.createSsl(ca, key, cert) : grpc.credentials.createInsecure();
    this.stub = new ScoringService(target, credentials, {
      "grpc.max_send_message_length": maxContentBytes + MIB,
      "grpc.max_receive_message_length": maxContentBytes + MIB,
      "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
    });
    this.token = typeof token === "function" ? token : () => token;
  }

  /** The verdict on one video: `{ uri }`, `{ content }` (bytes) or `{ content_digest }`. Rejects with a ScoringError. */
  score(request, { deadlineS = 60 } = {}) {
    return new Promise((resolve, reject) => {
      const done = (error, answer) => (error ? reject(ScoringError.ofCall(error)) : resolve(answer.verdict));
      this.stub.Score(request, this.#metadata(), { deadline: Date.now() + deadlineS * 1e3 }, done);
    });
  }

  /**
   * Scores many over one call, at most `inFlight` of them unanswered. Yields `{ videoId, verdict }` or `{ videoId, error }`
   * as they finish, by the `video_id` of each request; throws a ScoringError where the stream itself fails.
   */
  async *scoreStream(requests, { inFlight = 8 } = {}) {
    const call = this.stub.ScoreStream(this.#metadata());
    let free = inFlight;
    let wake = () => {};
    let failed;
    const send = async () => {
      for await (const request of requests) {
        while (free === 0) await new Promise((resolve) => (wake = resolve));
        free -= 1;
        call.write({ request });
      }
      call.end();
    };
    send().catch((error) => {
      failed = error;
      call.cancel();
    });
    try {
      for await (const { video_id: videoId, result, verdict, error } of call) {
        free += 1;
        wake();
        yield result === "error" ? { videoId, error: ScoringError.of(error) } : { videoId, verdict };
      }
    } catch (error) {
      throw failed ?? (error.code === undefined ? error : ScoringError.ofCall(error));
    } finally {
      call.cancel();
    }
  }

  /** Closes the connection. */
  close() {
    this.stub.close();
  }

  #metadata() {
    const metadata = new grpc.Metadata();
    const token = this.token();
    if (token) metadata.set("authorization", `Bearer ${token}`);
    return metadata;
  }
}
