import { mount } from "svelte";
import { square } from "../state/square.svelte";
import Office from "./Office.svelte";

const target = document.getElementById("app");
if (target) {
  target.replaceChildren();
  mount(Office, { target });
  square.start();
}
