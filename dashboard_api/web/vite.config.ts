import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// Two entries, one asset folder. The server answers `/` with index.html and
// `/petugas/<token>` with petugas.html, so every asset is addressed from the root.
export default defineConfig({
  plugins: [svelte()],
  base: "/",
  worker: { format: "es" },
  build: {
    outDir: "../static",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the content security policy has no data: scripts or fonts
    target: "es2022",
    chunkSizeWarningLimit: 1200, // MapLibre is one lazy chunk of about 1.1 MB before gzip
    rollupOptions: { input: { office: "index.html", crew: "petugas.html" } },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8080", "/healthz": "http://127.0.0.1:8080" } },
  test: { include: ["tests/**/*.test.ts"], environment: "node", css: true },
});
