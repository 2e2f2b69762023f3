// Written by scripts/types.mjs from the document of the API; run `npm run types` when that changes.
export interface paths {
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The process answers */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Health"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Measurements as `OpenMetrics` text */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "text/plain": string;
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The process takes work: its database answers and it is not stopping */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Health"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/login": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Log in
         * @description Answers with a token of at most ten minutes; a browser on one of our own pages gets a session cookie instead.
         */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Login"];
                };
            };
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["LoggedIn"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/logout": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** End the session */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Empty"];
                };
            };
            responses: {
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/me": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Who am I */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Me"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/refresh": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Get a fresh token for a session that lives
         * @description Takes the bearer token, which may have expired, as long as its session has not.
         */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Empty"];
                };
            };
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["LoggedIn"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/cognition/status": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What the organism knows about its own thinking */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["CognitionStatus"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/missions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List missions, newest first */
        get: {
            parameters: {
                query?: {
                    /** @description One or more, separated by commas. */
                    status?: string;
                    rank?: string;
                    /** @description `key=value`, or `key`. */
                    label?: string;
                    /** @description Words in the goal. */
                    q?: string;
                    /** @description Created at or after this time. */
                    since?: string;
                    /** @description `-created_at`, the only order. */
                    sort?: string;
                    /** @description 1 to 200, 50 if absent. */
                    limit?: number;
                    cursor?: string;
                };
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Page_MissionSummary"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        /**
         * Create a mission
         * @description From `tasks`, an explicit plan, or from a `goal` alone, which then waits for a plan. Harmless ranks start at once;
         *     A and S wait for approval.
         */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["NewMission"];
                };
            };
            responses: {
                201: {
                    headers: {
                        ETag?: string;
                        Location?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Mission"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/missions/dry-run": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Judge a mission without storing anything
         * @description Its rank and why, the verdict, what it could touch, and where each task could run now.
         */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["NewMission"];
                };
            };
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["DryRun"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/missions/schema": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The JSON Schema of mission files */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description JSON Schema, draft 2020-12 */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": Record<string, never>;
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/missions/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a mission
         * @description With its plan, its first 200 tasks, why waiting ones wait, approval, review, prediction and artifacts.
         */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        ETag?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Mission"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/missions/{id}/approve": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Decide the mission's one pending approval
         * @description The digest must be the plan's as it is now; a comment is needed for ranks A and S.
         */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Decision"];
                };
            };
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Mission"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/missions/{id}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** End a mission: running attempts are ended, nothing new starts */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Empty"];
                };
            };
            responses: {
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Stopped"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/missions/{id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Watch one mission */
        get: {
            parameters: {
                query?: {
                    /** @description Only what came after this `seq`; `Last-Event-ID` wins. From now on if absent. */
                    after?: number;
                    /** @description Only kinds that begin with this: `task.`. */
                    kind?: string;
                };
                header?: {
                    "Last-Event-ID"?: number | null;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "text/event-stream": components["schemas"]["Event"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/missions/{id}/pause": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Start nothing new until resumed; what runs may finish */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Empty"];
                };
            };
            responses: {
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Stopped"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/missions/{id}/plan": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Give a mission another plan, before it is approved
         * @description Makes a new digest; approvals of the old one are void.
         */
        put: {
            parameters: {
                query?: never;
                header?: {
                    "If-Match"?: string | null;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["NewPlan"];
                };
            };
            responses: {
                200: {
                    headers: {
                        ETag?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Mission"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/missions/{id}/rerun": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Run a mission again, as a new one */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Rerun"];
                };
            };
            responses: {
                201: {
                    headers: {
                        Location?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Mission"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/missions/{id}/resume": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Go on with a paused mission */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Empty"];
                };
            };
            responses: {
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Mission"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/missions/{id}/run": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Start a mission that is held */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Empty"];
                };
            };
            responses: {
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Mission"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/missions/{id}/tasks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List a mission's tasks, by place in the plan */
        get: {
            parameters: {
                query?: {
                    status?: string;
                    /** @description 1 to 200, 50 if absent. */
                    limit?: number;
                    cursor?: string;
                };
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Page_Task"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/stats": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The engine in numbers */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Stats"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/tasks/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read a task with its attempts and why they failed */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["TaskDetail"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/tasks/{id}/log": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a task's log
         * @description As JSON lines, or as text with `Accept: text/plain`. Text without line parameters is the log as it was written,
         *     whole or by `Range`.
         */
        get: {
            parameters: {
                query?: {
                    /** @description Number of the attempt; the newest if absent. */
                    attempt?: number;
                    /** @description First line, from 1; negative counts from the end. */
                    from_line?: number;
                    /** @description At most 10,000; 1,000 if absent. */
                    lines?: number;
                    /** @description Only lines that hold this text. */
                    search?: string;
                };
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/x-ndjson": components["schemas"]["Line"];
                        "text/plain": string;
                    };
                };
                206: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "text/plain": string;
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/tasks/{id}/log/live": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Follow a task's log
         * @description An event `line` for each line, its number as the event's id; `end` when no more will come.
         */
        get: {
            parameters: {
                query?: {
                    /** @description First line, from 1; resumed after `Last-Event-ID`. */
                    from_line?: number;
                };
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "text/event-stream": components["schemas"]["Line"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/engine/tasks/{id}/resolve": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Say what became of a task that is `uncertain` */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Resolve"];
                };
            };
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["TaskDetail"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Watch everything that happens
         * @description Server-sent events named `change`. A broken line is resumed with `Last-Event-ID`.
         */
        get: {
            parameters: {
                query?: {
                    /** @description Only what came after this `seq`; `Last-Event-ID` wins. From now on if absent. */
                    after?: number;
                    /** @description Only kinds that begin with this: `task.`. */
                    kind?: string;
                };
                header?: {
                    "Last-Event-ID"?: number | null;
                };
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "text/event-stream": components["schemas"]["Event"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/fleet/agents": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List agents */
        get: {
            parameters: {
                query?: {
                    state?: string;
                    /** @description `key=value`, or `key`. */
                    label?: string;
                    name?: string;
                    /** @description 1 to 200, 50 if absent. */
                    limit?: number;
                    cursor?: string;
                };
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Page_Agent"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/fleet/agents/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read an agent, by id or name */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        ETag?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Agent"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /** Replace an agent's labels */
        patch: {
            parameters: {
                query?: never;
                header?: {
                    "If-Match"?: string | null;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["AgentChange"];
                };
            };
            responses: {
                200: {
                    headers: {
                        ETag?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Agent"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        trace?: never;
    };
    "/v1/fleet/agents/{id}/drain": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Let an agent finish what runs and take nothing new */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Empty"];
                };
            };
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Agent"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/fleet/agents/{id}/pause": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Let an agent take nothing new for now */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Empty"];
                };
            };
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Agent"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/fleet/agents/{id}/quarantine": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Stop what runs on an agent and offer it nothing */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Empty"];
                };
            };
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Agent"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/fleet/agents/{id}/resume": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Undo drain, pause or quarantine */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Empty"];
                };
            };
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Agent"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/fleet/agents/{id}/revoke": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Take an agent's authority away for good */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Empty"];
                };
            };
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Agent"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/fleet/capabilities": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What the fleet can do now */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Page_Capability"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/fleet/invites": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Invite another machine */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["NewInvite"];
                };
            };
            responses: {
                201: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Invite"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/governance/approvals": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List approvals, those that end first at the top */
        get: {
            parameters: {
                query?: {
                    status?: string;
                    mission?: string;
                    /** @description 1 to 200, 50 if absent. */
                    limit?: number;
                    cursor?: string;
                };
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Page_Approval"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/governance/approvals/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read an approval with what there is to sign */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Approval"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/governance/approvals/{id}/decisions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Decide an approval */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Decision"];
                };
            };
            responses: {
                201: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Approval"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/governance/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List audit entries, newest first */
        get: {
            parameters: {
                query?: {
                    actor?: string;
                    action?: string;
                    subject?: string;
                    mission?: string;
                    /** @description At or after this time. */
                    since?: string;
                    /** @description `-seq`, the only order. */
                    sort?: string;
                    /** @description 1 to 200, 50 if absent. */
                    limit?: number;
                    cursor?: string;
                };
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Page_AuditEntry"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/governance/reviews": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List reviews, newest first */
        get: {
            parameters: {
                query?: {
                    status?: string;
                    mission?: string;
                    /** @description 1 to 200, 50 if absent. */
                    limit?: number;
                    cursor?: string;
                };
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Page_Review"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        /** Judge flagged work */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Judgement"];
                };
            };
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Review"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/governance/reviews/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read a review */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Review"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/nexusmon/evolution": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Stage, traits, and the ledger they follow from */
        get: {
            parameters: {
                query?: {
                    /** @description 1 to 200, 50 if absent. */
                    limit?: number;
                    cursor?: string;
                };
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Evolution"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/nexusmon/house": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How large everything is, and what would help */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["House"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/nexusmon/organism/status": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The state of the whole */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["OrganismStatus"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This document */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OpenAPI 3.1 */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": Record<string, never>;
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vault/artifacts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List artifacts, newest first */
        get: {
            parameters: {
                query?: {
                    mission?: string;
                    name?: string;
                    kind?: string;
                    status?: string;
                    /** @description Words in its name or text. */
                    q?: string;
                    /** @description `-created_at`, the only order. */
                    sort?: string;
                    /** @description 1 to 200, 50 if absent. */
                    limit?: number;
                    cursor?: string;
                };
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Page_Artifact"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        /**
         * Upload bytes as a new version
         * @description The body is the bytes as they are; `Content-Type` says what they are.
         */
        post: {
            parameters: {
                query: {
                    name: string;
                    /** @description Puts it beside what that mission made. */
                    mission?: string;
                    /** @description SHA-256 in hexadecimal; other bytes are refused. */
                    digest?: string;
                };
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/octet-stream": number[];
                };
            };
            responses: {
                201: {
                    headers: {
                        Location?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["ArtifactDetail"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vault/artifacts/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read an artifact with its newest version and its review trail */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["ArtifactDetail"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vault/artifacts/{id}/content": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Download a version, whole or by `Range` */
        get: {
            parameters: {
                query?: {
                    /** @description Number or id; the newest if absent. */
                    version?: string;
                };
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/octet-stream": number[];
                    };
                };
                206: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/octet-stream": number[];
                    };
                };
                304: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vault/artifacts/{id}/diff": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Compare two versions */
        get: {
            parameters: {
                query?: {
                    /** @description The older version, by number or id; the one before if absent. */
                    with?: string;
                    /** @description The newer version, by number or id; the newest if absent. */
                    version?: string;
                };
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Difference"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vault/artifacts/{id}/reviews": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Add a judgement to the review trail */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description 1 to 128 printable characters; the same key and body give the same answer for a day */
                    "Idempotency-Key"?: string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["NewArtifactReview"];
                };
            };
            responses: {
                201: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["ArtifactDetail"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vault/artifacts/{id}/versions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List an artifact's versions, newest first */
        get: {
            parameters: {
                query?: {
                    /** @description 1 to 200, 50 if absent. */
                    limit?: number;
                    cursor?: string;
                };
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Page_Version"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/version": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Which version answers */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["CoordinatorVersion"];
                    };
                };
                /** @description Refused */
                default: {
                    headers: {
                        traceparent?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description Something a person should know about how the database is kept. */
        Advice: {
            about: string;
            problem: string;
            remedy: string;
        };
        /** @description An enrolled machine. */
        Agent: {
            id: string;
            name: string;
            /** @description `online`, `suspect` or `offline` while it is active; else its state. */
            status: string;
            /** @description `active`, `draining`, `paused`, `quarantined`, `revoked`, `locked`. */
            state: string;
            /** @description `online`, `suspect`, `offline`. */
            presence: string;
            labels: {
                [key: string]: string;
            };
            max_rank: components["schemas"]["Rank"];
            /** Format: int32 */
            slots: number;
            /** Format: int32 */
            slots_used: number;
            /** Format: int32 */
            load_percent: number;
            build: string;
            facts: components["schemas"]["Facts"];
            sandbox_levels: string[];
            local_policy?: components["schemas"]["LocalPolicy"] | null;
            paused_locally: boolean;
            capabilities: string[];
            plugins: components["schemas"]["Plugin"][];
            enrolled_at: string;
            last_seen_at?: string | null;
            certificate_expires_at?: string | null;
        };
        AgentChange: {
            /** @description All of them; what is left out is removed. */
            labels: {
                [key: string]: string;
            };
        };
        /** @description Something that waits, or waited, for people. */
        Approval: {
            id: string;
            /** @description `mission_plan`, `task_instance`. */
            subject_kind: string;
            mission: string;
            task?: string | null;
            /** @description What would be done, in a line. */
            summary: string;
            digest: string;
            rank: components["schemas"]["Rank"];
            /**
             * Format: int32
             * @description Approvals it takes.
             */
            needed: number;
            author: components["schemas"]["Author"];
            /** @description `pending`, `approved`, `rejected`, `expired`, `void`. */
            status: string;
            created_at: string;
            /** @description Nothing runs if nobody has decided by then. */
            decide_by: string;
            decided_at?: string | null;
            decisions: components["schemas"]["DecisionMade"][];
            /** @description What a signature covers (RFC 8785), before verdict, validity and nonce are added. */
            to_sign: Record<string, never>;
        };
        /** @description A named series of versions. */
        Artifact: {
            id: string;
            name: string;
            /** @description `output`, `log`, `upload`. */
            kind: string;
            mission?: string | null;
            /** @description Id in the plan of the task that makes it. */
            task?: string | null;
            /**
             * Format: int32
             * @description How many versions there are.
             */
            versions: number;
            latest: components["schemas"]["Version"];
            created_at: string;
        };
        ArtifactDetail: components["schemas"]["Artifact"] & {
            reviews: components["schemas"]["ArtifactReview"][];
        };
        /** @description A judgement in the review trail. */
        ArtifactReview: {
            version_id: string;
            /** @description `accept`, `reject`, `comment`. */
            verdict: string;
            comment?: string | null;
            by: string;
            by_name: string;
            at: string;
        };
        /** @enum {string} */
        ArtifactVerdict: "accept" | "reject" | "comment";
        /** @description One execution, live or past. */
        Attempt: {
            /**
             * Format: int32
             * @description From 1.
             */
            number: number;
            /** @description `epoch.number`; newer ones make reports under it stale. */
            fence: string;
            agent: components["schemas"]["TaskAgent"];
            status: string;
            cause?: components["schemas"]["Cause"] | null;
            sandbox_level?: string | null;
            /** Format: int64 */
            log_bytes: number;
            started_at?: string | null;
            finished_at?: string | null;
        };
        Attention: {
            /** Format: int64 */
            approvals_waiting: number;
            /** Format: int64 */
            reviews_waiting: number;
            /** Format: int64 */
            uncertain_tasks: number;
            /** Format: int64 */
            needs_plan: number;
            /** Format: double */
            mean_seconds_to_decide?: number | null;
            /** Format: int64 */
            decided: number;
        };
        /** @description One entry of the audit trail. */
        AuditEntry: {
            /** Format: int64 */
            seq: number;
            at: string;
            /** @description A principal's or agent's id, or `nexusmon`. */
            actor: string;
            action: string;
            subject_kind: string;
            subject: string;
            mission?: string | null;
            body: Record<string, never>;
            digest: string;
        };
        /** @description Whose text became the plan. */
        Author: {
            /** @description `person`, `token`, `planner`, `trigger`. */
            kind: string;
            id: string;
        };
        Autopsy: {
            mission: string;
            goal: string;
            /** Format: double */
            predicted_success: number;
            succeeded: boolean;
            /** Format: double */
            predicted_seconds: number;
            /** Format: double */
            actual_seconds: number;
        };
        Belief: {
            capability: string;
            plugin_version: string;
            agent: string;
            /** Format: int64 */
            successes: number;
            /** Format: int64 */
            failures: number;
            /**
             * Format: double
             * @description 0 to 1.
             */
            trust: number;
        };
        /** @description What could be touched if all goes wrong. */
        BlastRadius: {
            machines: string[];
            capabilities: string[];
            host_paths: string[];
            hosts: string[];
            writes: boolean;
            network: boolean;
            irreversible: boolean;
        };
        /** @description Ceilings; absent ones have finite defaults. Durations: seconds, `90s` or ISO 8601. */
        Budget: {
            /** Format: int32 */
            tasks?: number | null;
            /** Format: int32 */
            attempts?: number | null;
            duration?: components["schemas"]["Duration"] | null;
            /** Format: int64 */
            artifact_bytes?: number | null;
            /** Format: int64 */
            log_bytes?: number | null;
        };
        /** @description One tenth of the probability scale. */
        CalibrationBin: {
            /** Format: double */
            from: number;
            /** Format: double */
            to: number;
            /** Format: int64 */
            predictions: number;
            /** Format: double */
            mean_predicted?: number | null;
            /**
             * Format: double
             * @description Share that came true.
             */
            observed?: number | null;
        };
        /** @description Something the fleet can do. */
        Capability: {
            /** @description `plugin.action`. */
            name: string;
            description: string;
            plugin: string;
            plugin_versions: string[];
            /** @description Rank floor. */
            risk_level: components["schemas"]["Rank"];
            requires_approval: boolean;
            /** @description JSON Schema of `with`. */
            params?: Record<string, never> | null;
            /** @description JSON Schema of the outputs. */
            outputs?: Record<string, never> | null;
            /** @description Names of agents that have it now. */
            agents: string[];
        };
        /** @description Why something failed; more fields by kind. */
        Cause: {
            /**
             * @description `exit_status`, `timeout`, `signal`, `lost_agent`, `refused_by_agent`, `plugin_error`, `verify_failed`,
             *     `output_too_large`, `artifact_failed`, `bad_parameters`, `denied_by_policy`, `approval_expired`,
             *     `budget_exceeded`, `resolved`.
             */
            kind: string;
        };
        /** @description Every number from real records. */
        CognitionStatus: {
            predictions: components["schemas"]["Predictions"];
            beliefs: components["schemas"]["Belief"][];
            /** @description Failures by cause. */
            errors: {
                [key: string]: number;
            };
            /** @description Predicted against actual. */
            decisions: components["schemas"]["Autopsy"][];
            memory: components["schemas"]["Memory"];
            planner: components["schemas"]["PlannerRecord"][];
            attention: components["schemas"]["Attention"];
        };
        CoordinatorVersion: {
            name: string;
            version: string;
            /** @description The coordinator's clock. */
            time: string;
        };
        /** @description A person's decision over exactly this digest. */
        Decision: {
            /** @description The approval's: SHA-256 in hexadecimal. A plan that changed meanwhile has another. */
            digest: string;
            verdict: components["schemas"]["Verdict"];
            /** @description Needed for ranks A and S. */
            comment?: string | null;
        };
        DecisionMade: {
            by: string;
            by_name: string;
            /** @description `approve` or `reject`. */
            verdict: string;
            comment?: string | null;
            method: string;
            at: string;
        };
        /** @description What changed between two versions. */
        Difference: {
            /** @description `text`, `json`, or `metadata` where the bytes are neither or too many. */
            kind: string;
            /** @description Unified diff of text. */
            unified?: string | null;
            /** @description Of JSON. */
            changes?: components["schemas"]["JsonChange"][] | null;
            before?: components["schemas"]["Version"] | null;
            after?: components["schemas"]["Version"] | null;
        };
        /** @description What a mission would be. */
        DryRun: {
            rank: components["schemas"]["Rank"];
            risk: string;
            /** @description `allow`, `flag`, `hold`, `deny`. */
            verdict: string;
            /** @description Ids of the policies that decided. */
            policies: string[];
            policy_digest: string;
            /** Format: int32 */
            approvals_needed: number;
            tasks: components["schemas"]["DryRunTask"][];
            blast_radius: components["schemas"]["BlastRadius"];
            prediction: components["schemas"]["Prediction"];
        };
        DryRunTask: {
            id: string;
            uses: string;
            rank: components["schemas"]["Rank"];
            /** @description What made the rank, in words. */
            rank_reasons: string[];
            /** @description Agents that could take it now. */
            agents: string[];
            waiting?: components["schemas"]["Waiting"] | null;
        };
        /** @description A duration: seconds, or text such as `90s`, `5m`, `PT90S`. */
        Duration: number | string;
        Edge: {
            from: string;
            to: string;
        };
        /** @description What the work may do to the world; only ever raises the rank. */
        Effects: {
            reads?: boolean | null;
            writes?: boolean | null;
            network?: boolean | null;
            spends?: boolean | null;
            irreversible?: boolean | null;
        };
        /** @description A request without fields. */
        Empty: Record<string, never>;
        /** @description Something that happened. */
        Event: {
            /**
             * Format: int64
             * @description Place in the audit trail and the event's id; null for what is only told live.
             */
            seq?: number | null;
            /** @description For example `mission.created`, `task.settled`. */
            kind: string;
            actor: string;
            subject_kind: string;
            subject: string;
            mission?: string | null;
            at: string;
            body: Record<string, never>;
        };
        /** @description How the organism grew. */
        Evolution: {
            stage: string;
            /** Format: int64 */
            xp: number;
            /** Format: int64 */
            verified_missions: number;
            next_stage?: components["schemas"]["NextStage"] | null;
            tree: components["schemas"]["Stage"][];
            traits: components["schemas"]["Trait"][];
            ledger: components["schemas"]["Page_LedgerEntry"];
        };
        /** @description What the machine says about itself. */
        Facts: {
            hostname: string;
            os: string;
            arch: string;
            build: string;
            /** Format: int32 */
            cpus: number;
            /** Format: int64 */
            memory_bytes: number;
        };
        /** @description What is wrong with one field of a request. */
        FieldProblem: {
            /** @description JSON pointer (RFC 6901) into the request body, `?name` for a query parameter, or a header's name. */
            pointer: string;
            /** @description Stable name of the reason. */
            code: string;
            /** @description For people. */
            message: string;
        };
        /** @description One child task per element of a list. */
        ForEach: {
            /** @description CEL that gives a list. */
            in: string;
            /** Format: int32 */
            max: number;
            /** Format: int32 */
            concurrency?: number | null;
        };
        Health: {
            status: string;
        };
        HostPath: {
            path: string;
            write?: boolean | null;
        };
        House: {
            /**
             * Format: int64
             * @description Without the write-ahead log.
             */
            database_bytes: number;
            /**
             * Format: int64
             * @description Of these, what holds nothing.
             */
            database_free_bytes: number;
            /** Format: int64 */
            database_log_bytes: number;
            /** Format: int64 */
            blobs: number;
            /** Format: int64 */
            blob_bytes: number;
            advice: components["schemas"]["Advice"][];
        };
        /** @description An artifact to fetch: of an ancestor task, or a version in the vault. */
        Input: {
            task: string;
            artifact: string;
        } | {
            version: string;
            /** @description File name in the inputs folder. */
            as: string;
        };
        /** @description Shown once. */
        Invite: {
            invite_id: string;
            name: string;
            labels: {
                [key: string]: string;
            };
            max_rank: components["schemas"]["Rank"];
            expires_at: string;
            /** @description Secret; works once. */
            token: string;
            /** @description The line to paste on the new machine. */
            command: string;
        };
        JsonChange: {
            pointer: string;
            before?: unknown;
            after?: unknown;
        };
        /** @description A judgement of one review. */
        Judgement: {
            /** @description The review's id. */
            review: string;
            verdict: components["schemas"]["JudgementVerdict"];
            comment?: string | null;
        };
        /** @enum {string} */
        JudgementVerdict: "accept" | "reject";
        /** @description A line of a log. */
        Line: {
            /**
             * Format: int64
             * @description From 1.
             */
            n: number;
            at: string;
            /** @description `stdout`, `stderr`, or `agent`. */
            source: string;
            text: string;
        };
        LocalPolicy: {
            max_rank: components["schemas"]["Rank"];
            /** @description Empty allows all. */
            capabilities: string[];
            unsigned_consent: boolean;
        };
        /** @description Who logged in, and with what to go on. */
        LoggedIn: {
            /** @description Send it as `Authorization: Bearer …`; null for a browser, which has a cookie instead. */
            access_token?: string | null;
            /** @description `Bearer` or `Cookie`. */
            token_type: string;
            /**
             * Format: int64
             * @description Seconds.
             */
            expires_in: number;
            principal: string;
            name: string;
            role: string;
        };
        Login: {
            /** @description The owner's. */
            operator_key: string;
        };
        /** @description Who asks. */
        Me: {
            id: string;
            name: string;
            /** @description `owner`, `operator`, `approver`, `viewer`, `service`. */
            role: string;
            session_expires_at?: string | null;
        };
        Memory: {
            /** Format: int64 */
            missions: number;
            /** Format: int64 */
            artifacts: number;
            /** Format: int64 */
            documents_indexed: number;
        };
        /** @description A mission in full. */
        Mission: {
            id: string;
            goal: string;
            status: components["schemas"]["MissionStatus"];
            /** @description What the state brings along: `reason`, `digest`, `decide_by`, `since`, `by`, `cause`. */
            status_detail: Record<string, never>;
            rank: components["schemas"]["Rank"];
            requested_rank?: components["schemas"]["Rank"] | null;
            /** @description The rank in a word: `trivial`, `low`, `medium`, `elevated`, `high`, `critical`. */
            risk: string;
            origin: string;
            plan?: components["schemas"]["Plan"] | null;
            /** @description The first 200; all of them by `/tasks`. */
            tasks: components["schemas"]["Task"][];
            task_counts: components["schemas"]["TaskCounts"];
            dag_edges: components["schemas"]["Edge"][];
            artifacts: components["schemas"]["MissionArtifact"][];
            approval?: components["schemas"]["MissionApproval"] | null;
            review?: components["schemas"]["MissionReview"] | null;
            prediction?: components["schemas"]["Prediction"] | null;
            /** Format: int32 */
            xp_awarded?: number | null;
            /** Format: int32 */
            priority: number;
            budget: components["schemas"]["Budget"];
            labels: {
                [key: string]: string;
            };
            metadata: Record<string, never>;
            inputs: Record<string, never>;
            rerun_of?: string | null;
            created_by: string;
            created_at: string;
            /** @description When it begins by itself. */
            start_at?: string | null;
            started_at?: string | null;
            deadline?: string | null;
            finished_at?: string | null;
        };
        MissionApproval: {
            id: string;
            /** @description What is asked for; while it waits. */
            digest?: string | null;
            decide_by?: string | null;
        };
        /** @description An artifact the mission made, with the version it made. */
        MissionArtifact: {
            id: string;
            name: string;
            kind: string;
            /** @description Id in the plan of the task that made it. */
            task?: string | null;
            latest: components["schemas"]["MissionArtifactVersion"];
        };
        MissionArtifactVersion: {
            version_id: string;
            /** Format: int32 */
            version: number;
            digest: string;
            /** Format: int64 */
            size: number;
            media_type: string;
        };
        MissionReview: {
            id: string;
        };
        /** @enum {string} */
        MissionStatus: "planning" | "needs_plan" | "awaiting_approval" | "ready" | "running" | "paused" | "cancelling" | "succeeded" | "failed" | "cancelled" | "rejected" | "expired";
        /** @description A mission in a list. */
        MissionSummary: {
            id: string;
            goal: string;
            status: components["schemas"]["MissionStatus"];
            rank: components["schemas"]["Rank"];
            requested_rank?: components["schemas"]["Rank"] | null;
            /** @description The rank in a word: `trivial`, `low`, `medium`, `elevated`, `high`, `critical`. */
            risk: string;
            origin: string;
            /** Format: int32 */
            priority: number;
            labels: {
                [key: string]: string;
            };
            task_counts: components["schemas"]["TaskCounts"];
            /** Format: int32 */
            xp_awarded?: number | null;
            /** @description The mission this one repeats. */
            rerun_of?: string | null;
            created_by: string;
            created_at: string;
            started_at?: string | null;
            finished_at?: string | null;
        };
        /** @description A judgement of one version. */
        NewArtifactReview: {
            verdict: components["schemas"]["ArtifactVerdict"];
            comment?: string | null;
            /** @description Number or id; the newest if absent. */
            version?: string | null;
        };
        NewInvite: {
            /** @description The new agent's. */
            name: string;
            labels?: {
                [key: string]: string;
            };
            max_rank?: components["schemas"]["Rank"] | null;
            ttl?: components["schemas"]["Duration"] | null;
        };
        /** @description A mission: `tasks` (an explicit plan), or a `goal` alone, which then waits for a plan. */
        NewMission: {
            goal?: string | null;
            tasks?: components["schemas"]["TaskDraft"][] | null;
            /** @description Values for `inputs.*` in expressions. */
            inputs?: Record<string, never> | null;
            rank?: components["schemas"]["Rank"] | null;
            /** @description `auto` (default), `manual`, or an RFC 3339 time. */
            start?: string | null;
            /**
             * Format: int32
             * @description -100 to 100; larger goes first.
             */
            priority?: number | null;
            budget?: components["schemas"]["Budget"] | null;
            labels?: {
                [key: string]: string;
            } | null;
            metadata?: Record<string, never> | null;
        };
        /** @description Another plan for a mission. */
        NewPlan: {
            tasks: components["schemas"]["TaskDraft"][];
        };
        NextStage: {
            stage: string;
            /**
             * Format: int64
             * @description Verified missions it takes.
             */
            at: number;
            /**
             * Format: int64
             * @description So far.
             */
            verified_missions: number;
            /** Format: int64 */
            missing: number;
            unlocks: string[];
        };
        /** @description Where the task may run. */
        On: {
            labels?: {
                [key: string]: string;
            } | null;
            /** @description Id or name. */
            agent?: string | null;
            /** @description The agent that ran this task. */
            same_as?: string | null;
        };
        /** @description The organism as it is now. */
        OrganismStatus: {
            id: string;
            name: string;
            version: string;
            /** Format: double */
            uptime_seconds: number;
            /** @description `dormant`, `awakening`, `forging`, `sovereign`, `apex`. */
            stage: string;
            /** Format: int64 */
            xp: number;
            /** Format: int64 */
            verified_missions: number;
            next_stage?: components["schemas"]["NextStage"] | null;
            traits: components["schemas"]["Trait"][];
            /** @description What waits for the operator, by kind. */
            operator_load: {
                [key: string]: number;
            };
            /** @description Slots by use. */
            workers: {
                [key: string]: number;
            };
            /** @description Agents by state and presence. */
            fleet: {
                [key: string]: number;
            };
            /** @description Missions by status. */
            missions: {
                [key: string]: number;
            };
            recent_events: components["schemas"]["AuditEntry"][];
        };
        /** @description One page of a list. */
        Page_Agent: {
            items: {
                id: string;
                name: string;
                /** @description `online`, `suspect` or `offline` while it is active; else its state. */
                status: string;
                /** @description `active`, `draining`, `paused`, `quarantined`, `revoked`, `locked`. */
                state: string;
                /** @description `online`, `suspect`, `offline`. */
                presence: string;
                labels: {
                    [key: string]: string;
                };
                max_rank: components["schemas"]["Rank"];
                /** Format: int32 */
                slots: number;
                /** Format: int32 */
                slots_used: number;
                /** Format: int32 */
                load_percent: number;
                build: string;
                facts: components["schemas"]["Facts"];
                sandbox_levels: string[];
                local_policy?: components["schemas"]["LocalPolicy"] | null;
                paused_locally: boolean;
                capabilities: string[];
                plugins: components["schemas"]["Plugin"][];
                enrolled_at: string;
                last_seen_at?: string | null;
                certificate_expires_at?: string | null;
            }[];
            /** @description Give it as `cursor` for the next page; null on the last. */
            next_cursor?: string | null;
        };
        /** @description One page of a list. */
        Page_Approval: {
            items: {
                id: string;
                /** @description `mission_plan`, `task_instance`. */
                subject_kind: string;
                mission: string;
                task?: string | null;
                /** @description What would be done, in a line. */
                summary: string;
                digest: string;
                rank: components["schemas"]["Rank"];
                /**
                 * Format: int32
                 * @description Approvals it takes.
                 */
                needed: number;
                author: components["schemas"]["Author"];
                /** @description `pending`, `approved`, `rejected`, `expired`, `void`. */
                status: string;
                created_at: string;
                /** @description Nothing runs if nobody has decided by then. */
                decide_by: string;
                decided_at?: string | null;
                decisions: components["schemas"]["DecisionMade"][];
                /** @description What a signature covers (RFC 8785), before verdict, validity and nonce are added. */
                to_sign: Record<string, never>;
            }[];
            /** @description Give it as `cursor` for the next page; null on the last. */
            next_cursor?: string | null;
        };
        /** @description One page of a list. */
        Page_Artifact: {
            items: {
                id: string;
                name: string;
                /** @description `output`, `log`, `upload`. */
                kind: string;
                mission?: string | null;
                /** @description Id in the plan of the task that makes it. */
                task?: string | null;
                /**
                 * Format: int32
                 * @description How many versions there are.
                 */
                versions: number;
                latest: components["schemas"]["Version"];
                created_at: string;
            }[];
            /** @description Give it as `cursor` for the next page; null on the last. */
            next_cursor?: string | null;
        };
        /** @description One page of a list. */
        Page_AuditEntry: {
            items: {
                /** Format: int64 */
                seq: number;
                at: string;
                /** @description A principal's or agent's id, or `nexusmon`. */
                actor: string;
                action: string;
                subject_kind: string;
                subject: string;
                mission?: string | null;
                body: Record<string, never>;
                digest: string;
            }[];
            /** @description Give it as `cursor` for the next page; null on the last. */
            next_cursor?: string | null;
        };
        /** @description One page of a list. */
        Page_Capability: {
            items: {
                /** @description `plugin.action`. */
                name: string;
                description: string;
                plugin: string;
                plugin_versions: string[];
                /** @description Rank floor. */
                risk_level: components["schemas"]["Rank"];
                requires_approval: boolean;
                /** @description JSON Schema of `with`. */
                params?: Record<string, never> | null;
                /** @description JSON Schema of the outputs. */
                outputs?: Record<string, never> | null;
                /** @description Names of agents that have it now. */
                agents: string[];
            }[];
            /** @description Give it as `cursor` for the next page; null on the last. */
            next_cursor?: string | null;
        };
        /** @description One page of a list. */
        Page_LedgerEntry: {
            items: {
                /**
                 * Format: int64
                 * @description Of the audit trail.
                 */
                seq: number;
                at: string;
                /** @description `verified`, `taken_back`. */
                kind: string;
                mission?: string | null;
                rank?: components["schemas"]["Rank"] | null;
                /**
                 * Format: int64
                 * @description Negative when taken back.
                 */
                xp: number;
                reason: string;
            }[];
            /** @description Give it as `cursor` for the next page; null on the last. */
            next_cursor?: string | null;
        };
        /** @description One page of a list. */
        Page_MissionSummary: {
            items: {
                id: string;
                goal: string;
                status: components["schemas"]["MissionStatus"];
                rank: components["schemas"]["Rank"];
                requested_rank?: components["schemas"]["Rank"] | null;
                /** @description The rank in a word: `trivial`, `low`, `medium`, `elevated`, `high`, `critical`. */
                risk: string;
                origin: string;
                /** Format: int32 */
                priority: number;
                labels: {
                    [key: string]: string;
                };
                task_counts: components["schemas"]["TaskCounts"];
                /** Format: int32 */
                xp_awarded?: number | null;
                /** @description The mission this one repeats. */
                rerun_of?: string | null;
                created_by: string;
                created_at: string;
                started_at?: string | null;
                finished_at?: string | null;
            }[];
            /** @description Give it as `cursor` for the next page; null on the last. */
            next_cursor?: string | null;
        };
        /** @description One page of a list. */
        Page_Review: {
            items: {
                id: string;
                mission: string;
                goal: string;
                rank: components["schemas"]["Rank"];
                /** @description Identical work shares it. */
                shape?: string | null;
                /** @description `open`, `accepted`, `rejected`, `covered`. */
                status: string;
                created_at: string;
                decided_at?: string | null;
                decided_by?: string | null;
                comment?: string | null;
            }[];
            /** @description Give it as `cursor` for the next page; null on the last. */
            next_cursor?: string | null;
        };
        /** @description One page of a list. */
        Page_Task: {
            items: {
                task_id: string;
                mission_id: string;
                /** @description In the plan. */
                id: string;
                /**
                 * Format: int32
                 * @description Place in its `for_each`.
                 */
                index?: number | null;
                uses: string;
                needs: string[];
                status: components["schemas"]["TaskStatus"];
                rank: components["schemas"]["Rank"];
                /**
                 * Format: int32
                 * @description Executions granted so far.
                 */
                attempt: number;
                agent?: components["schemas"]["TaskAgent"] | null;
                outputs?: Record<string, never> | null;
                cause?: components["schemas"]["Cause"] | null;
                /** @description Why it was skipped: `need_failed` or `condition`. */
                skip_reason?: string | null;
                /** @description Cancelled while nobody knows whether it happened. */
                effect_unknown: boolean;
                waiting?: components["schemas"]["Waiting"] | null;
                progress?: components["schemas"]["Progress"] | null;
                started_at?: string | null;
                finished_at?: string | null;
            }[];
            /** @description Give it as `cursor` for the next page; null on the last. */
            next_cursor?: string | null;
        };
        /** @description One page of a list. */
        Page_Version: {
            items: {
                version_id: string;
                /**
                 * Format: int32
                 * @description From 1.
                 */
                version: number;
                /** @description SHA-256. */
                digest: string;
                /** Format: int64 */
                size: number;
                media_type: string;
                /** @description `active`, `rejected`, `purged`. */
                status: string;
                producer: components["schemas"]["Producer"];
                /** @description Digests of what went in. */
                inputs: string[];
                /** Format: int32 */
                reviews: number;
                created_at: string;
            }[];
            /** @description Give it as `cursor` for the next page; null on the last. */
            next_cursor?: string | null;
        };
        Plan: {
            digest: string;
            tasks_root: string;
            /** Format: int32 */
            revision: number;
            author: components["schemas"]["Author"];
            policy_digest: string;
        };
        PlannerRecord: {
            kind: string;
            /** Format: int64 */
            calls: number;
        };
        Plugin: {
            name: string;
            version: string;
            /** @description As the plugin declares them. */
            capabilities: Record<string, never>[];
        };
        Prediction: {
            /**
             * Format: double
             * @description Probability.
             */
            success: number;
            /** Format: double */
            duration_seconds: number;
            /** @description `history` or `prior`. */
            basis: string;
            /**
             * Format: int64
             * @description Past runs it rests on.
             */
            samples: number;
        };
        Predictions: {
            /** Format: int64 */
            made: number;
            /** Format: int64 */
            scored: number;
            /**
             * Format: double
             * @description Mean squared error of the probability; lower is better, 0.25 is a coin.
             */
            brier?: number | null;
            calibration: components["schemas"]["CalibrationBin"][];
            /**
             * Format: double
             * @description Median of |actual - predicted| / max(actual, 1 s).
             */
            duration_error?: number | null;
        };
        /** @description A problem body (RFC 9457). */
        Problem: Record<string, never> & {
            /** @description `urn:nexusmon:problem:` and the code. */
            type: string;
            /** @description The status in words. */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description Stable; programs decide by it. */
            code: string;
            /** @description What happened and what to do. */
            detail: string;
            /** @description Each field that was refused. */
            errors: components["schemas"]["FieldProblem"][];
            /** @description Finds this request in logs and traces. */
            trace_id: string;
        };
        /** @description Who made a version. */
        Producer: {
            mission?: string | null;
            task?: string | null;
            /** Format: int32 */
            attempt?: number | null;
            fence?: string | null;
            agent?: string | null;
            /** @description Who uploaded it. */
            principal?: string | null;
        };
        /** @enum {string} */
        Profile: "strict" | "network" | "user" | "none";
        Progress: {
            /**
             * Format: double
             * @description 0 to 1.
             */
            fraction?: number | null;
            text: string;
        };
        /**
         * @description How much harm work could do; E is harmless, S the gravest.
         * @enum {string}
         */
        Rank: "E" | "D" | "C" | "B" | "A" | "S";
        Rerun: {
            /** @default start */
            from: components["schemas"]["RerunFrom"];
        };
        /** @enum {string} */
        RerunFrom: "start" | "failed";
        /** @enum {string} */
        Resolution: "succeeded" | "failed" | "retry";
        Resolve: {
            as: components["schemas"]["Resolution"];
            comment?: string | null;
        };
        Retry: {
            /** Format: int32 */
            max?: number | null;
            backoff?: components["schemas"]["Duration"] | null;
            /**
             * Format: double
             * @description 0 to 1.
             */
            jitter?: number | null;
            /** @description Causes by name. */
            on?: string[] | null;
        };
        /** @description Flagged work, and what people think of it. */
        Review: {
            id: string;
            mission: string;
            goal: string;
            rank: components["schemas"]["Rank"];
            /** @description Identical work shares it. */
            shape?: string | null;
            /** @description `open`, `accepted`, `rejected`, `covered`. */
            status: string;
            created_at: string;
            decided_at?: string | null;
            decided_by?: string | null;
            comment?: string | null;
        };
        /** @description A profile, or what it opens. */
        Sandbox: components["schemas"]["Profile"] | {
            profile: components["schemas"]["Profile"];
            network?: string[] | null;
            paths?: components["schemas"]["HostPath"][] | null;
        };
        Stage: {
            stage: string;
            /**
             * Format: int64
             * @description Verified missions it takes.
             */
            at: number;
            reached: boolean;
            unlocks: string[];
        };
        Stats: {
            missions_by_status: {
                [key: string]: number;
            };
            tasks_by_status: {
                [key: string]: number;
            };
            /** Format: int64 */
            ready_tasks: number;
            /** Format: int64 */
            live_leases: number;
            /** Format: int64 */
            agents_online: number;
            /** @description Ready tasks by why they wait. */
            waiting_by_reason: {
                [key: string]: number;
            };
            /**
             * Format: double
             * @description Seconds the oldest ready task has waited.
             */
            oldest_ready_seconds?: number | null;
        };
        /** @description What an act stopped. */
        Stopped: {
            mission: components["schemas"]["StoppedMission"];
            stopped: components["schemas"]["StoppedCounts"];
        };
        StoppedCounts: {
            /**
             * Format: int64
             * @description Told to end.
             */
            cancelled_attempts: number;
            /**
             * Format: int64
             * @description Asked back before they start.
             */
            recalled_attempts: number;
            /**
             * Format: int64
             * @description Tasks that will not run any more.
             */
            cancelled_tasks: number;
        };
        StoppedMission: {
            id: string;
            status: components["schemas"]["MissionStatus"];
        };
        /** @description A task of a mission. */
        Task: {
            task_id: string;
            mission_id: string;
            /** @description In the plan. */
            id: string;
            /**
             * Format: int32
             * @description Place in its `for_each`.
             */
            index?: number | null;
            uses: string;
            needs: string[];
            status: components["schemas"]["TaskStatus"];
            rank: components["schemas"]["Rank"];
            /**
             * Format: int32
             * @description Executions granted so far.
             */
            attempt: number;
            agent?: components["schemas"]["TaskAgent"] | null;
            outputs?: Record<string, never> | null;
            cause?: components["schemas"]["Cause"] | null;
            /** @description Why it was skipped: `need_failed` or `condition`. */
            skip_reason?: string | null;
            /** @description Cancelled while nobody knows whether it happened. */
            effect_unknown: boolean;
            waiting?: components["schemas"]["Waiting"] | null;
            progress?: components["schemas"]["Progress"] | null;
            started_at?: string | null;
            finished_at?: string | null;
        };
        /** @description Where a task runs or ran. */
        TaskAgent: {
            id: string;
            name?: string | null;
        };
        TaskCounts: {
            /** Format: int64 */
            total: number;
            /**
             * Format: int64
             * @description Not terminal yet.
             */
            open: number;
            /** Format: int64 */
            succeeded: number;
            /** Format: int64 */
            failed: number;
        };
        /** @description A task in full. */
        TaskDetail: components["schemas"]["Task"] & {
            /** @description The leaf of the plan. */
            spec: Record<string, never>;
            /** @description `with`, evaluated; null before it is. */
            parameters?: Record<string, never> | null;
            attempts: components["schemas"]["Attempt"][];
        };
        /** @description A task of a plan. */
        TaskDraft: {
            /** @description Unique in the plan. */
            id: string;
            /** @description The capability: `shell.run`. */
            uses: string;
            /** @description Parameters; strings may hold `${{ expression }}` (CEL). */
            with?: Record<string, never> | null;
            needs?: string[] | null;
            /** @description CEL; false skips the task. */
            if?: string | null;
            for_each?: components["schemas"]["ForEach"] | null;
            on?: components["schemas"]["On"] | null;
            timeout?: components["schemas"]["Duration"] | null;
            retry?: components["schemas"]["Retry"] | null;
            idempotent?: boolean | null;
            offline?: components["schemas"]["Duration"] | null;
            sandbox?: components["schemas"]["Sandbox"] | null;
            inputs?: components["schemas"]["Input"][] | null;
            /** @description Globs beneath the workspace to keep. */
            artifacts?: string[] | null;
            /** @description CEL over `outputs` and `exit_code`. */
            verify?: string | null;
            effects?: components["schemas"]["Effects"] | null;
            /** @description The most leases that may live under each key. */
            limits?: {
                [key: string]: number;
            } | null;
        };
        /** @enum {string} */
        TaskStatus: "pending" | "gated" | "ready" | "leased" | "running" | "backoff" | "uncertain" | "succeeded" | "failed" | "skipped" | "cancelled";
        Trait: {
            trait: string;
            /** @description `locked`, `earned`, `suspended`, `disabled`, `granted`. */
            state: string;
            /** @description What the state rests on. */
            evidence?: Record<string, never> | null;
            /** @description The stage that unlocks it. */
            unlocked_by: string;
        };
        /** @enum {string} */
        Verdict: "approve" | "reject";
        /** @description One immutable version. */
        Version: {
            version_id: string;
            /**
             * Format: int32
             * @description From 1.
             */
            version: number;
            /** @description SHA-256. */
            digest: string;
            /** Format: int64 */
            size: number;
            media_type: string;
            /** @description `active`, `rejected`, `purged`. */
            status: string;
            producer: components["schemas"]["Producer"];
            /** @description Digests of what went in. */
            inputs: string[];
            /** Format: int32 */
            reviews: number;
            created_at: string;
        };
        /** @description Why a task waits; more fields by reason. */
        Waiting: {
            /**
             * @description `no_agent_has`, `labels_unmatched`, `sandbox_unavailable`, `refused_by`, `all_slots_busy`, `limit`, `backoff`,
             *     `gated`, `needs`, `paused`, `halted`, `away`.
             */
            reason: string;
            /** @description In one sentence. */
            detail: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
